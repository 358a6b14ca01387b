"""The reference GraphQL backend of the development stack.

It stands for the service that a real deployment has. It owns the database and offers the
contract's four mutations over it, no more. M0 imports nothing of it, and it nothing of M0.
"""
