// Says what docker compose makes of files: its own library reads them.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/dotenv"
)

func main() {
	found, err := said(os.Args[1], os.Args[2:])
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(found)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func said(what string, paths []string) (any, error) {
	switch what {
	case "dotenv":
		return dotenv.Read(paths...)
	case "config":
		options, err := cli.NewProjectOptions(paths, cli.WithName("judged"))
		if err != nil {
			return nil, err
		}
		return options.LoadProject(context.Background())
	}
	return nil, fmt.Errorf("no judgement on %s", what)
}
