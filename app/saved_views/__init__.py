"""Named views: filters that a person keeps under a name."""
