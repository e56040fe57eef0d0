"""Telling people by mail: a row in the transaction of what happened, sent later, with retries."""
