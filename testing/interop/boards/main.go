// Command boards reads Grafana boards with the types of Grafana's own SDK.
//
// It fails if a board has an unknown field, lacks a required one, or has a value of another type.
package main

import (
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// check returns the problems of a board.
func check(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var board dashboard.Dashboard
	if err := board.UnmarshalJSONStrict(data); err != nil && err.Error() != "" {
		return err
	}
	if err := board.Validate(); err != nil && err.Error() != "" {
		return err
	}
	return nil
}

func main() {
	plugins.RegisterDefaultPlugins()
	failed := false
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			failed = true
			fmt.Printf("%s:\n%v\n", path, err)
		} else {
			fmt.Printf("%s is valid\n", path)
		}
	}
	if failed {
		os.Exit(1)
	}
}
