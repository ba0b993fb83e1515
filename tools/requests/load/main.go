// Command load sends one request again and again over TLS connections that are kept, each answered before the next is
// sent, and prints how many were answered in a second.
//
// In: -address, -host (server name and Host), -path, -cookie, -connections, -seconds. Out: one number. It does as little
// as can be for a request, so that the proxy is what is measured: a general client costs more than Envoy does. Any
// answer but 200 ends it with status 1.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"sync/atomic"
	"time"
)

var (
	address     = flag.String("address", "", "where the proxy listens")
	host        = flag.String("host", "", "server name and Host")
	path        = flag.String("path", "/", "what is asked for")
	cookie      = flag.String("cookie", "", "the Cookie header; none if empty")
	connections = flag.Int("connections", 32, "how many connections")
	seconds     = flag.Float64("seconds", 3, "how long")
)

func main() {
	log.SetFlags(0)
	flag.Parse()
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\n", *path, *host)
	if *cookie != "" {
		request += "Cookie: " + *cookie + "\r\n"
	}
	request += "\r\n"
	var answered atomic.Int64
	for range *connections {
		connection, err := tls.Dial("tcp", *address, &tls.Config{ServerName: *host, InsecureSkipVerify: true})
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			reader := bufio.NewReaderSize(connection, 16<<10)
			for {
				if err := ask(connection, reader, []byte(request)); err != nil {
					log.Fatal(err)
				}
				answered.Add(1)
			}
		}()
	}
	time.Sleep(time.Second / 2)
	before, began := answered.Load(), time.Now()
	time.Sleep(time.Duration(*seconds * float64(time.Second)))
	fmt.Fprintf(os.Stdout, "%.1f\n", float64(answered.Load()-before)/time.Since(began).Seconds())
}

// ask sends a request and reads its answer, which must be 200 and have a length.
func ask(connection io.Writer, reader *bufio.Reader, request []byte) error {
	if _, err := connection.Write(request); err != nil {
		return err
	}
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
		return errors.New(string(line))
	}
	length := 0
	for {
		line, err = reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) == 2 {
			_, err = reader.Discard(length)
			return err
		}
		if name, value, _ := bytes.Cut(line, []byte(": ")); bytes.EqualFold(name, []byte("content-length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
}
