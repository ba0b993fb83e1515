"""What a change costs with many Ingresses: this controller and Contour, side by side on one real API server.

Run: `make bench`, or `python -m benchmarks.scale --sizes 100,1000 --only this`. It prints how long it may take, then a
table, and writes all samples as JSON, from which `benchmarks.scale.page` makes the page in the documentation.

Both controllers read the same objects: the API server holds one set of N Ingresses, N Services and N EndpointSlices,
whose one class both are told to serve. They run one after the other, each with an Envoy of the same build. Everything
happens in a network namespace of its own, so no request can leave the machine.
"""
