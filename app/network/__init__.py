"""The purchase-order messages of the network: reader, vocabulary, models, answers. Imports no room."""
