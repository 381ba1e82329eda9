"""Private set intersection: which ids two parties have in common, and nothing else about the others.

Here lies the pure part, bytes in and bytes out; a protocol scheduler decides who sends what to whom. Two protocols
give the same answer: `ecdh` (small messages, fast, the default) and `rsa` (blind signatures; the initiator's side is
cheap). Both are secure against *semi-honest* parties: each follows the protocol and looks at all it received. Neither
keeps a party from lying about its own ids.

==================  =========================================  ==============================================
who                 learns                                     does not learn
==================  =========================================  ==============================================
initiator           the common ids, the number of the          the collaborator's other ids
                    collaborator's ids
collaborator        the number of the initiator's ids; the     the initiator's other ids; without being told,
                    common ids only if the initiator tells it  not even how many are common
anybody who         both numbers of ids                        any id, and any hash of one that could be
records messages                                               compared with a guess
==================  =========================================  ==============================================

The order of steps is ``ids.normalise`` → ``matching.shuffled`` → ``ecdh`` or ``rsa`` → ``matching.intersect``. Secrets
and the nonces of the `hashing.Domain` are fresh for every attempt: never resume one with new ids and an old secret.
"""
