"""RabbitMQ frame in, custom resource stored, message settled.

`decoder` reads bytes, `reconcile` and `initialize` store what they ask for, `consumer` settles the message then.
"""
