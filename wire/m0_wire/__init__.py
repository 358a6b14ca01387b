"""What is foreign and more than one program of M0 speaks.

`broker`: confirmed AMQP publishing. `mutations`: the GraphQL documents and what an answer
means, with two clients: `backend` through gql, `light_backend` for a fast start. Beside them
`secrets`: credentials from a cloud, read when a program starts. Their libraries' errors end here.
"""
