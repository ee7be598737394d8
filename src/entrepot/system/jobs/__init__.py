"""Jobs as people see and steer them; `entrepot.jobs` runs them.

`traits` is what is known of a kind without running it, `timetable` reads schedules; `service`, `schedules` and `queues`
are what people do with runs, schedules and queues.
"""
