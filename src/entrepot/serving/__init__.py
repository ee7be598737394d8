"""Running the registry: one supervisor, its children, and what holds them together.

`supervisor` starts and watches the children: the web server (`web`: Granian, whose workers answer requests) and the job
worker (`job`). `listen` claims the address, `certificates` hands TLS files to the server, `runtime` is the folder the
processes of one `serve` share, `notices` how children speak to the supervisor, `debug` the listener for metrics and
health. The supervisor imports no database, no web framework and no configuration, which a copy of it reads and which
ends afterwards: it is ready at once, small, and has little that could fail.
"""
