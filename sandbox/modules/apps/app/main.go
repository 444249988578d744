// App is an application for tests of rollouts. It shows which values it works with by their SHA-256 fingerprints, never
// the values; environment variables make it crash, stay unready, or take its time to end.
//
//	app         serve until SIGTERM (serve.go)
//	app load    ask a URL again and again, and print what came back (load.go)
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch command := argument(1); command {
	case "", "serve":
		err = serve()
	case "load":
		err = load(os.Args[2:])
	default:
		err = fmt.Errorf("no command %q: write serve or load", command)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func argument(number int) string {
	if len(os.Args) <= number {
		return ""
	}
	return os.Args[number]
}
