"""`/c/account`: the page of oneself, without a script: who am I, my keys, my second factors, signing in and out."""
