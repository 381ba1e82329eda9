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

Memory of a party: beside the ids it gave, at most 32 bytes an id, the result included, and 16 MB whatever their number
is. An id takes 8 bytes for a reference (none if the ids come as a tuple), 4 for its position, 4 for its place in the
secret order, at the initiator 5 for its place at the other party, and a common id 8 more. Ids are hashed, blinded, sent
and raised a block at a time; what the initiator compares, 20 or 36 bytes for each id of both, lies in a file of its own
folder.

The result is exact: no id is compared by a digest that two ids could share but by the protocols' own tags, 255 bits
(ECDH) or 128 bits (RSA: n and m ids have a false match with probability nm / 2**128, 2**-80 at the most).

The order of steps is ``ids.normalise`` → ``matching.shuffled`` → ``ecdh`` or ``rsa`` → ``buckets.Buckets``. Secrets
and the nonces of the `hashing.Domain` are fresh for every attempt: never resume one with new ids and an old secret.
"""
