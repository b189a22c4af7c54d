"""Tables of what Runs cost: profiles, checked devices, and how good estimates were."""
