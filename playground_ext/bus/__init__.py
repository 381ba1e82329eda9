"""What crosses a party's boundary: keys, envelopes, tensors, connections, mailboxes and the server. Import from the modules."""
