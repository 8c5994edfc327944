# The head of prtr_small.py: 20 queries, read out by assignment.
_base_ = './track_{{$PRTR_TRACK:a}}.py'
