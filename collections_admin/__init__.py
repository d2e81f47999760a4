import os

# Before anything imports grpc, whose C core prints each lost connection to the terminal; errors of calls are ours.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
