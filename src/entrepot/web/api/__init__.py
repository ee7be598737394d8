"""The management API under `/api/v2.0`, in the shapes and conventions of Harbor's, and the pages under `/c`.

`mount` is what the rest of the web layer sees of it: FastAPI is imported and the application built at the first request
that needs it. `app` puts the application together from one module for each noun; `caller` says who is asking and may
they, `paging` and `query` read what part of a list is wanted, `errors` turns faults into answers, and `edge` stands
between the server and all of them.
"""
