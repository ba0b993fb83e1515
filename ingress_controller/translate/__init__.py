"""Objects to model: pure functions of small inputs, and the graph that applies them to what has changed.

In: views of Kubernetes objects. Out: values of the model, and problems. There is no client, clock, logger or global in
here. What cannot be compiled becomes a route that answers 503, never one that is more open than was asked for.
"""
