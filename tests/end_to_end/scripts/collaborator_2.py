"""A collaborator, with half of the digits."""

from digits import take_part

if __name__ == "__main__":
    take_part("collaborator-2")
