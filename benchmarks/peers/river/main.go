// Measures River: `river worker` runs jobs, `river driver` submits them and watches them end.
//
// The driver speaks what benchmarks/peers/apps/driver.py describes.
//
// Settings, from River's documentation and its own benchmark (`river bench`, riverbench/river_bench.go), whose
// figures are "much better than the client's default values":
//
//   - FetchCooldown 2 ms, FetchPollInterval 20 ms, 2,000 workers of the default queue;
//   - InsertManyFast, which copies, for many: documentation, "Inserting jobs in bulk", in batches of 5,000 as in
//     `river bench`;
//   - completed jobs are kept for their 24 hours, for their rows are the final state.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	payloadBytes = 300
	insertBatch  = 5000
	poll         = 5 * time.Millisecond
	stall        = 60 * time.Second
	completed    = `SELECT count(*) FROM river_job WHERE kind = 'noop' AND state = 'completed'`
	ended        = `SELECT id FROM river_job WHERE id = ANY($1::bigint[]) AND state = 'completed'`
)

// NoopArgs is the payload, payloadBytes long as compact JSON.
type NoopArgs struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

func (NoopArgs) Kind() string { return "noop" }

func payload(number int) NoopArgs {
	filled := payloadBytes - len(`{"number":,"text":""}`) - len(strconv.Itoa(number))
	return NoopArgs{number, strings.Repeat("x", filled)}
}

// Noop notes that it ran.
type Noop struct {
	river.WorkerDefaults[NoopArgs]
	effects *os.File
}

func (w *Noop) Work(_ context.Context, job *river.Job[NoopArgs]) error {
	var record [16]byte
	binary.LittleEndian.PutUint64(record[:8], uint64(job.Args.Number))
	binary.LittleEndian.PutUint64(record[8:], uint64(time.Now().UnixNano()))
	_, err := w.effects.Write(record[:])
	return err
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	pool, err := pgxpool.New(ctx, os.Getenv("PEERS_POSTGRES"))
	must(err)
	defer pool.Close()
	switch os.Args[1] {
	case "worker":
		work(ctx, pool)
	case "driver":
		drive(ctx, pool)
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func work(ctx context.Context, pool *pgxpool.Pool) {
	name := filepath.Join(os.Getenv("PEERS_EFFECTS"), fmt.Sprintf("%d.effects", os.Getpid()))
	effects, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(err)
	workers := river.NewWorkers()
	river.AddWorker(workers, &Noop{effects: effects})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		FetchCooldown:     2 * time.Millisecond,
		FetchPollInterval: 20 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 2000}},
		Workers:           workers,
	})
	must(err)
	must(client.Start(ctx))
	<-ctx.Done()
	stopped, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = client.Stop(stopped)
}

type asked struct {
	Do    string  `json:"do"`
	First int     `json:"first"`
	Jobs  int     `json:"jobs"`
	PerS  float64 `json:"per_s"`
}

type submitter struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

func drive(ctx context.Context, pool *pgxpool.Pool) {
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
	must(err)
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	must(err)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{})
	must(err)
	one := submitter{pool, client}
	say(map[string]any{"versions": versions()})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var want asked
		must(json.Unmarshal(lines.Bytes(), &want))
		if want.Do == "backlog" {
			one.backlog(ctx, want)
		} else {
			one.rate(ctx, want)
		}
	}
}

func say(answer map[string]any) {
	line, err := json.Marshal(answer)
	must(err)
	fmt.Println(string(line))
}

func versions() map[string]string {
	found := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		found["go"] = info.GoVersion
		for _, module := range info.Deps {
			switch module.Path {
			case "github.com/riverqueue/river":
				found["river"] = module.Version
			case "github.com/jackc/pgx/v5":
				found["pgx"] = module.Version
			}
		}
	}
	return found
}

func (s submitter) backlog(ctx context.Context, want asked) {
	already := s.count(ctx)
	began := time.Now()
	for from := 0; from < want.Jobs; from += insertBatch {
		to := min(from+insertBatch, want.Jobs)
		batch := make([]river.InsertManyParams, 0, to-from)
		for number := from; number < to; number++ {
			batch = append(batch, river.InsertManyParams{Args: payload(want.First + number)})
		}
		_, err := s.client.InsertManyFast(ctx, batch)
		must(err)
	}
	submitted := time.Since(began)
	s.untilCompleted(ctx, already, want.Jobs)
	say(map[string]any{"submitted_s": submitted.Seconds(), "elapsed_s": time.Since(began).Seconds()})
}

func (s submitter) count(ctx context.Context) int {
	var rows int
	must(s.pool.QueryRow(ctx, completed).Scan(&rows))
	return rows
}

func (s submitter) untilCompleted(ctx context.Context, already, jobs int) {
	last, moved := already, time.Now()
	for {
		now := s.count(ctx)
		if now >= already+jobs {
			return
		}
		if now > last {
			last, moved = now, time.Now()
		} else if time.Since(moved) > stall {
			must(fmt.Errorf("%d of %d jobs have not ended, and nothing moves", already+jobs-now, jobs))
		}
		left := float64(already+jobs-now) / float64(jobs)
		time.Sleep(20*time.Millisecond + time.Duration(left*float64(500*time.Millisecond)))
	}
}

// due is one run at a rate: what is submitted and not seen as ended, by id.
type due struct {
	sync.Mutex
	pending map[int64]int
	shown   []int64
}

func (s submitter) rate(ctx context.Context, want asked) {
	load := &due{pending: map[int64]int{}, shown: make([]int64, want.Jobs)}
	began := time.Now()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		var inserts sync.WaitGroup
		for place := range want.Jobs {
			at := time.Duration(float64(place) / want.PerS * float64(time.Second))
			time.Sleep(time.Until(began.Add(at)))
			inserts.Go(func() {
				done, err := s.client.Insert(ctx, payload(want.First+place), nil)
				must(err)
				load.Lock()
				load.pending[done.Job.ID] = place
				load.Unlock()
			})
		}
		inserts.Wait()
	}()
	s.watch(ctx, load, sent)
	say(map[string]any{"began_ns": began.UnixNano(), "shown_ns": load.shown})
}

func (s submitter) watch(ctx context.Context, load *due, sent <-chan struct{}) {
	moved := time.Now()
	for {
		all := false
		select {
		case <-sent:
			all = true
		default:
		}
		ids := load.ids()
		if len(ids) == 0 && all {
			return
		}
		if len(ids) == 0 || s.show(ctx, load, ids) {
			moved = time.Now()
		} else if time.Since(moved) > stall {
			must(fmt.Errorf("%d jobs have not ended, and nothing moves", len(ids)))
		}
		time.Sleep(poll)
	}
}

func (d *due) ids() []int64 {
	d.Lock()
	defer d.Unlock()
	ids := make([]int64, 0, len(d.pending))
	for id := range d.pending {
		ids = append(ids, id)
	}
	return ids
}

// show notes the jobs that are completed now, and tells whether there was any.
func (s submitter) show(ctx context.Context, load *due, ids []int64) bool {
	rows, err := s.pool.Query(ctx, ended, ids)
	must(err)
	defer rows.Close()
	now, any := time.Now().UnixNano(), false
	load.Lock()
	defer load.Unlock()
	for rows.Next() {
		var id int64
		must(rows.Scan(&id))
		load.shown[load.pending[id]] = now
		delete(load.pending, id)
		any = true
	}
	must(rows.Err())
	return any
}
