//go:build unix

package web

import "syscall"

// canAttempt: sockets are in non-blocking mode and write takes what fits.
const canAttempt = true

// attempt writes what the socket takes at once, which may be nothing.
func attempt(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, nil
		}
		return 0, err
	}
}
