// Load for etcd, so that it is measured by a client that is no bottleneck: etcd's own Go client.
//
// Two modes. `load`: closed loop, a number of goroutines put or get (linearizable) random keys until a number of requests is
// done; prints one line of JSON. `probe`: open loop, one put every interval whatever became of the earlier ones; prints a
// line `sentMicroseconds acknowledgedMicroseconds` (since 1970) for each put that succeeds, until it is killed.
//
// Build: GO111MODULE=off GOPATH=/usr/share/gocode go build -o etcd-load main.go
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

var (
	mode        = flag.String("mode", "load", "load or probe")
	endpoints   = flag.String("endpoints", "127.0.0.1:2379", "comma separated; connections are spread evenly over them")
	operation   = flag.String("operation", "put", "put or get")
	clients     = flag.Int("clients", 256, "goroutines with one request under way each")
	connections = flag.Int("connections", 24, "gRPC connections that the goroutines share")
	requests    = flag.Int("requests", 100000, "requests in all")
	keys        = flag.Int("keys", 100000, "size of the key space")
	valueBytes  = flag.Int("value-bytes", 64, "size of a value")
	intervalMs  = flag.Int("interval-ms", 5, "probe: time between puts")
	timeoutMs   = flag.Int("timeout-ms", 5000, "probe: time after which a put is given up")
)

func connect(endpoint string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot connect:", err)
		os.Exit(1)
	}
	return client
}

func key(number int) string { return fmt.Sprintf("key:%012d", number) }

func load() {
	addresses := strings.Split(*endpoints, ",")
	pool := make([]*clientv3.Client, *connections)
	for i := range pool {
		pool[i] = connect(addresses[i%len(addresses)])
	}
	value := strings.Repeat("x", *valueBytes)
	latencies := make([][]time.Duration, *clients)
	var left, failures int64 = int64(*requests), 0
	var group sync.WaitGroup
	start := time.Now()
	for i := 0; i < *clients; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			client := pool[i%len(pool)]
			random := rand.New(rand.NewSource(int64(i)))
			for atomic.AddInt64(&left, -1) >= 0 {
				begin := time.Now()
				var err error
				if *operation == "put" {
					_, err = client.Put(context.Background(), key(random.Intn(*keys)), value)
				} else {
					_, err = client.Get(context.Background(), key(random.Intn(*keys)))
				}
				if err != nil {
					atomic.AddInt64(&failures, 1)
					continue
				}
				latencies[i] = append(latencies[i], time.Since(begin))
			}
		}(i)
	}
	group.Wait()
	elapsed := time.Since(start)
	var all []time.Duration
	for _, each := range latencies {
		all = append(all, each...)
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "every request failed")
		os.Exit(1)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	at := func(share float64) float64 {
		return float64(all[int(share*float64(len(all)-1))].Microseconds()) / 1000
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]interface{}{
		"ratePerSecond": float64(len(all)) / elapsed.Seconds(),
		"p50Ms":         at(0.5),
		"p99Ms":         at(0.99),
		"failures":      failures,
	})
}

func probe() {
	addresses := strings.Split(*endpoints, ",")
	pool := make([]*clientv3.Client, len(addresses))
	for i := range pool {
		pool[i] = connect(addresses[i])
	}
	var output sync.Mutex
	ticker := time.NewTicker(time.Duration(*intervalMs) * time.Millisecond)
	for number := 0; ; number++ {
		<-ticker.C
		go func(number int) {
			sent := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(*timeoutMs)*time.Millisecond)
			defer cancel()
			if _, err := pool[number%len(pool)].Put(ctx, key(number%*keys), "x"); err != nil {
				return
			}
			acknowledged := time.Now()
			output.Lock()
			fmt.Println(sent.UnixNano()/1000, acknowledged.UnixNano()/1000)
			output.Unlock()
		}(number)
	}
}

func main() {
	flag.Parse()
	if *mode == "probe" {
		probe()
	} else {
		load()
	}
}
