"""The two foreign protocols that more than one program of M0 speaks.

`broker`: confirmed AMQP publishing. `mutations`: the GraphQL documents and what an answer
means, with two clients: `backend` through gql, `light_backend` for a fast start. Their
libraries' errors end here.
"""
