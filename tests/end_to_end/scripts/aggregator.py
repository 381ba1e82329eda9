"""The aggregator. Start it, `collaborator_1.py` and `collaborator_2.py` in three terminals, in any order."""

from digits import take_part

if __name__ == "__main__":
    take_part("aggregator")
