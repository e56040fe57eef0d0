"""Purchase orders, their versions, and the responses to them."""
