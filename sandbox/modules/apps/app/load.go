package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// report is what `load` prints as one line of JSON at its end. A request failed if it had no answer of status 200.
type report struct {
	Sent      int            `json:"sent"`
	OK        int            `json:"ok"`
	Failed    int            `json:"failed"`
	Errors    map[string]int `json:"errors"`
	Env       []string       `json:"env"`
	File      []string       `json:"file"`
	Pods      []string       `json:"pods"`
	SlowestMS int64          `json:"slowest_ms"`
	begin     bool
	lock      sync.Mutex
}

// load asks until SIGTERM, SIGINT or the end of its time. Each request has a connection of its own, so that each is
// sent to an endpoint that is ready then.
func load(arguments []string) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	url := flags.String("url", "", "what to ask")
	rate := flags.Float64("rate", 20, "requests in a second")
	length := flags.Duration("for", time.Hour, "how long")
	timeout := flags.Duration("timeout", 5*time.Second, "how long an answer may take")
	begin := flags.Bool("begin", false, "print the line `begun` at the first answer of status 200")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *url == "" || *rate <= 0 {
		return errors.New("load needs --url and a --rate above 0")
	}
	until, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	until, stop := context.WithTimeout(until, *length)
	defer stop()
	client := &http.Client{Timeout: *timeout, Transport: &http.Transport{DisableKeepAlives: true}}
	found := &report{begin: *begin, Errors: map[string]int{}, Env: []string{}, File: []string{}, Pods: []string{}}
	found.ask(until, client, *url, time.Duration(float64(time.Second) / *rate))
	return json.NewEncoder(os.Stdout).Encode(found)
}

func (found *report) ask(until context.Context, client *http.Client, url string, pause time.Duration) {
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	var running sync.WaitGroup
	for {
		select {
		case <-until.Done():
			running.Wait()
			return
		case <-ticker.C:
			running.Add(1)
			go func() {
				defer running.Done()
				found.once(client, url)
			}()
		}
	}
}

func (found *report) once(client *http.Client, url string) {
	started := time.Now()
	answer, err := get(client, url)
	found.lock.Lock()
	defer found.lock.Unlock()
	found.Sent++
	found.SlowestMS = max(found.SlowestMS, time.Since(started).Milliseconds())
	if err != nil {
		found.Failed++
		found.Errors[err.Error()]++
		fmt.Fprintln(os.Stderr, time.Now().UTC().Format(time.RFC3339Nano), err)
		return
	}
	if found.begin && found.OK == 0 {
		fmt.Println("begun")
	}
	found.OK++
	remember(&found.Env, answer.Env)
	remember(&found.File, answer.File)
	remember(&found.Pods, answer.Pod)
}

func get(client *http.Client, url string) (seen, error) {
	var answer seen
	response, err := client.Get(url)
	if err != nil {
		return answer, errors.New(plain(err))
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer, errors.New(plain(err))
	}
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("status %d", response.StatusCode)
	}
	json.Unmarshal(body, &answer) // another server's answer has no fingerprints, and counts all the same
	return answer, nil
}

// plain leaves out addresses and ports, so that failures of one kind are counted together.
func plain(err error) string {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	var number syscall.Errno
	if errors.As(err, &number) {
		return number.Error()
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "connection closed without an answer"
	}
	return err.Error()
}

func remember(known *[]string, text string) {
	for _, one := range *known {
		if one == text {
			return
		}
	}
	if text != "" {
		*known = append(*known, text)
	}
}
