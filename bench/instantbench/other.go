//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "instantbench needs Linux: it reads with epoll and takes CPU times from /proc")
	os.Exit(1)
}
