"""What crosses a party's boundary: keys, envelopes, tensors, connections, mailboxes, the server."""
