package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// What the environment says:
//
//	PORT          where it listens (8080)
//	SECRET        a value, the same until the process ends
//	SECRET_FILE   the path of a file, read for each request
//	REVISION      any text, such as an annotation of the pod by the downward API
//	CRASH_ON      rules, separated by commas, any of which ends the process at its start with code 1
//	UNREADY_ON    rules any of which keeps /ready at 503
//	TERM_SECONDS  how long it serves on after SIGTERM (0); /ready is 503 from the signal on
//
// A rule is `revision:TEXT` (REVISION is TEXT), `fingerprint:HEX` (of SECRET or of the file) or `other-than:HEX`
// (neither SECRET nor the file has that fingerprint).
type seen struct {
	Env      string `json:"env"`
	File     string `json:"file"`
	Revision string `json:"revision"`
	Pod      string `json:"pod"`
}

func serve() error {
	if rule := matching(os.Getenv("CRASH_ON"), look()); rule != "" {
		return fmt.Errorf("the rule %q of CRASH_ON ends this process", rule)
	}
	grace, err := strconv.Atoi(setting("TERM_SECONDS", "0"))
	if err != nil {
		return errors.New("TERM_SECONDS is no number of seconds")
	}
	var ending atomic.Bool
	server := &http.Server{Addr: ":" + setting("PORT", "8080"), Handler: handler(&ending)}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	done := make(chan error, 1)
	go func() {
		<-signals
		ending.Store(true)
		time.Sleep(time.Duration(grace) * time.Second)
		done <- server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-done
}

func handler(ending *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(answer http.ResponseWriter, _ *http.Request) {
		answer.Header().Set("Content-Type", "application/json")
		json.NewEncoder(answer).Encode(look())
	})
	mux.HandleFunc("GET /healthz", func(answer http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(answer, "alive")
	})
	mux.HandleFunc("GET /ready", func(answer http.ResponseWriter, _ *http.Request) {
		if ending.Load() || matching(os.Getenv("UNREADY_ON"), look()) != "" {
			http.Error(answer, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(answer, "ready")
	})
	return mux
}

func look() seen {
	name, _ := os.Hostname()
	found := seen{Revision: os.Getenv("REVISION"), Pod: name}
	if value, there := os.LookupEnv("SECRET"); there {
		found.Env = fingerprint([]byte(value))
	}
	if content, err := os.ReadFile(os.Getenv("SECRET_FILE")); err == nil {
		found.File = fingerprint(content)
	}
	return found
}

func fingerprint(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

// matching returns the first rule that holds, or nothing.
func matching(rules string, found seen) string {
	for _, rule := range strings.Split(rules, ",") {
		kind, wanted, _ := strings.Cut(rule, ":")
		has := wanted == found.Env || wanted == found.File
		if kind == "revision" && wanted == found.Revision || kind == "fingerprint" && has || kind == "other-than" && !has {
			return rule
		}
	}
	return ""
}

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}
