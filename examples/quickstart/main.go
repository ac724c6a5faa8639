// Quickstart plays a day in the life of a connector: a fictional register of
// 200 people, its API gateway, its message broker and a directory, all in
// memory, and the connector that keeps the directory equal to the register.
//
// It needs no services and no configuration:
//
//	go run ./examples/quickstart
//
// It exits with 0 only if the directory equals the register in the end.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Quickstart plays a day in the life of a connector, in memory. It takes no arguments.")
		fmt.Fprintln(flag.CommandLine.Output(), "NO_COLOR=1 turns colours off; they are only used on a terminal.")
	}
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := play(ctx, newScreen(os.Stdout))
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}
