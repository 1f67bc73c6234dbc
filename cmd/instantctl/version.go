package main

import (
	"fmt"
	"io"
	"runtime/debug"
)

type versionCommand struct{}

func (versionCommand) Run(out *output) error {
	version, goVersion := "unknown", "unknown"
	if build, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = build.Main.Version, build.GoVersion
	}
	return out.show(map[string]string{"version": version, "go": goVersion}, func(w io.Writer) {
		fmt.Fprintf(w, "instantctl %s, %s\n", version, goVersion)
	})
}
