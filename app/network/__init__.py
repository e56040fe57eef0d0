"""The purchase-order messages of the network: JSON reader, vocabulary, models, replies, OpenAPI. Pure."""
