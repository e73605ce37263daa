// Command mongo is the server that the tests talk to where MongoDB is meant:
// FerretDB, embedded, with its data in SQLite files.
//
//	mongo -dir DIR [-listen 127.0.0.1:0] [-keep]
//
// The first line on standard output is the connection string; the server
// answers from then on. It ends on SIGTERM or SIGINT and, unless -keep is
// given, when its standard input closes, so that a killed test leaves no
// server behind. Warnings go to standard error.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/ferretdb"
)

// grace is how long open connections may delay the end; FerretDB alone would
// wait three seconds for clients that keep their pools open.
const grace = 500 * time.Millisecond

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on; port 0 picks a free one")
	dir := flag.String("dir", "", "folder for the data, made when missing (required)")
	keep := flag.Bool("keep", false, "go on when standard input closes")
	flag.Parse()

	if err := run(*listen, *dir, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "mongo:", err)
		os.Exit(1)
	}
}

func run(listen, dir string, keep bool) error {
	if dir == "" {
		return errors.New("-dir is required")
	}

	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}

	if err = os.MkdirAll(dir, 0o700); err != nil {
		return err
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
	})
	if err != nil {
		return err
	}

	if !keep {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}

	// The listener is open already; a client that connects before Run waits in its backlog.
	fmt.Println(server.MongoDBURI())

	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()

	select {
	case err = <-ended:
		return err
	case <-ctx.Done():
	}

	select {
	case err = <-ended:
		return err
	case <-time.After(grace):
		return nil
	}
}
