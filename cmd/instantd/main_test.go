package main

import (
	"testing"

	"go.uber.org/goleak"
)

// When all servers are stopped, nothing of them may run on.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
