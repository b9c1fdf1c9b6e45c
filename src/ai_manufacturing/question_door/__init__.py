"""Questions of an assistant to one release: each number comes with its verdict and its caveats."""
