"""What a job costs and how long it takes: stages alone, and the whole pipeline (``make bench``)."""
