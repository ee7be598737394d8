"""Runs of jobs, their queues and schedules, and the work that follows transactions."""
