"""The intermediate representation: frozen values between Kubernetes' objects and Envoy's messages.

Nothing here knows how an object was read or how a message is encoded, so that equal values mean
equal configuration.
"""
