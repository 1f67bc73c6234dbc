package main

import (
	"context"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// When all servers are stopped, nothing of them may run on. Told so, the test
// binary is the server itself, for tests that kill it.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		environ := os.Environ()
		os.Exit(run(context.Background(), nil, environ, os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}
