"""The two foreign protocols that more than one program of M0 speaks.

`broker`: confirmed AMQP publishing. `backend`: GraphQL mutations. Their
libraries' errors end here.
"""
