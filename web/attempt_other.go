//go:build !unix

package web

import "errors"

// canAttempt: without a non-blocking write every batch goes by a goroutine of
// its socket.
const canAttempt = false

func attempt(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
