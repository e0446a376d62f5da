// SPDX-License-Identifier: Apache-2.0

// Interop drives the official Go client through its behaviours against any name server and prints one JSON line per
// behaviour: {"name", "ok", "ms", "detail"}. Exit code 1 if one failed.
//
// Arguments: name server address, prefix of topics and groups. Topics <prefix>_batch, <prefix>_sync, … must exist or
// the broker must create them on demand. With a third argument, the number of its first message, it is one round of
// consume_continues_without_repeat, which runs each in a process of its own.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	rocketmq "github.com/apache/rocketmq-client-go/v2"
	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/apache/rocketmq-client-go/v2/producer"
	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const deadline = 40 * time.Second

type cluster struct {
	namesrv  string
	prefix   string
	producer rocketmq.Producer
}

type behaviour struct {
	name string
	run  func(*cluster) (string, error)
}

func main() {
	rlog.SetLogLevel("error")
	c := &cluster{namesrv: os.Args[1], prefix: os.Args[2]}
	p, err := rocketmq.NewProducer(
		producer.WithNameServer([]string{c.namesrv}),
		producer.WithGroupName(c.name("producers")),
		producer.WithInstanceName(c.name("producer")),
		producer.WithRetry(0),
		producer.WithSendMsgTimeout(10*time.Second),
	)
	if err == nil {
		err = p.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "producer:", err)
		os.Exit(1)
	}
	c.producer = p
	if len(os.Args) > 3 {
		if err := c.round(os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	ok := true
	for _, b := range []behaviour{
		{"send_sync_and_consume", syncAndConsume},
		{"send_async", async},
		{"send_batch", batch},
		{"send_oneway", oneway},
		{"push_tag_filter", tagFilter},
		{"consume_continues_without_repeat", continues},
	} {
		start := time.Now()
		detail, err := b.run(c)
		if err != nil {
			ok, detail = false, err.Error()
		}
		line, _ := json.Marshal(map[string]any{
			"name": b.name, "ok": err == nil, "ms": time.Since(start).Milliseconds(), "detail": detail,
		})
		fmt.Println(string(line))
	}
	_ = p.Shutdown()
	if !ok {
		os.Exit(1)
	}
}

func (c *cluster) name(what string) string { return c.prefix + "_" + what }

// message number n: the body carries its checksum, a tag, a key and a property.
func (c *cluster) message(topic, tag string, n int) *primitive.Message {
	text := fmt.Sprintf("message %d of %s äöü €", n, topic)
	m := primitive.NewMessage(topic, fmt.Appendf(nil, "%s #%08x", text, crc32.ChecksumIEEE([]byte(text))))
	m.WithTag(tag).WithKeys([]string{fmt.Sprintf("k%d", n), "all"})
	m.WithProperty("number", fmt.Sprint(n))
	m.WithProperty("text", "grüße aus dem süden")
	return m
}

// sent checks what a send returns (for a batch this client leaves MsgID empty).
func sent(r *primitive.SendResult, err error) error {
	switch {
	case err != nil:
		return err
	case r.Status != primitive.SendOK:
		return fmt.Errorf("status %v", r.Status)
	case r.OffsetMsgID == "":
		return fmt.Errorf("no offset message id in %v", r)
	case r.QueueOffset < 0:
		return fmt.Errorf("queue offset %d", r.QueueOffset)
	}
	return nil
}

// received collects what a push consumer is given.
type received struct {
	mu       sync.Mutex
	messages []*primitive.MessageExt
}

func (r *received) add(m ...*primitive.MessageExt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m...)
}

func (r *received) all() []*primitive.MessageExt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*primitive.MessageExt(nil), r.messages...)
}

// wait returns once there are count messages.
func (r *received) wait(count int) error {
	until := time.Now().Add(deadline)
	for time.Now().Before(until) {
		if len(r.all()) >= count {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%d of %d messages within %v", len(r.all()), count, deadline)
}

// consume starts a push consumer from the first offset; the returned function stops it.
func (c *cluster) consume(topic, group, expression string) (*received, func() error, error) {
	pc, err := rocketmq.NewPushConsumer(
		consumer.WithNameServer([]string{c.namesrv}),
		consumer.WithGroupName(c.name(group)),
		consumer.WithInstance(fmt.Sprintf("%s-%d", c.name(group), time.Now().UnixNano())),
		consumer.WithConsumeFromWhere(consumer.ConsumeFromFirstOffset),
		consumer.WithConsumerModel(consumer.Clustering),
	)
	if err != nil {
		return nil, nil, err
	}
	got := &received{}
	selector := consumer.MessageSelector{Type: consumer.TAG, Expression: expression}
	err = pc.Subscribe(topic, selector, func(_ context.Context, messages ...*primitive.MessageExt) (consumer.ConsumeResult, error) {
		got.add(messages...)
		return consumer.ConsumeSuccess, nil
	})
	if err == nil {
		err = pc.Start()
	}
	return got, pc.Shutdown, err
}

// same pairs what was sent with what came, by number: nothing lost, nothing twice, all of it equal.
func same(sent []*primitive.Message, got []*primitive.MessageExt) error {
	missing := map[string]*primitive.Message{}
	for _, m := range sent {
		missing[m.GetProperty("number")] = m
	}
	for _, g := range got {
		number := g.GetProperty("number")
		s := missing[number]
		if s == nil {
			return fmt.Errorf("message %q not expected or twice: %v", number, g)
		}
		delete(missing, number)
		for _, p := range [][3]string{
			{"topic", s.Topic, g.Topic},
			{"body", string(s.Body), string(g.Body)},
			{"tag", s.GetTags(), g.GetTags()},
			{"keys", s.GetKeys(), g.GetKeys()},
			{"text", s.GetProperty("text"), g.GetProperty("text")},
		} {
			if p[1] != p[2] {
				return fmt.Errorf("%s of message %s: expected %q, got %q", p[0], number, p[1], p[2])
			}
		}
		if g.MsgId == "" || g.OffsetMsgId == "" || g.BornHost == "" || g.ReconsumeTimes != 0 {
			return fmt.Errorf("odd message %v", g)
		}
	}
	if len(missing) > 0 {
		var numbers []string
		for n := range missing {
			numbers = append(numbers, n)
		}
		sort.Strings(numbers)
		return fmt.Errorf("missing: %s", strings.Join(numbers, " "))
	}
	return nil
}

// check consumes everything of a topic and compares.
func (c *cluster) check(topic, group string, sent []*primitive.Message) (string, error) {
	got, stop, err := c.consume(topic, group, "*")
	if err != nil {
		return "", err
	}
	err = got.wait(len(sent))
	if stopped := stop(); err == nil {
		err = stopped
	}
	if err == nil {
		err = same(sent, got.all())
	}
	return fmt.Sprintf("%d messages", len(sent)), err
}

func syncAndConsume(c *cluster) (string, error) {
	topic := c.name("sync")
	ids := map[string]bool{}
	var all []*primitive.Message
	for n := range 20 {
		m := c.message(topic, "TagA", n)
		r, err := c.producer.SendSync(context.Background(), m)
		if err := sent(r, err); err != nil {
			return "", err
		}
		if r.MsgID == "" {
			return "", fmt.Errorf("no message id in %v", r)
		}
		ids[r.MsgID] = true
		all = append(all, m)
	}
	if len(ids) != len(all) {
		return "", fmt.Errorf("%d distinct ids of %d", len(ids), len(all))
	}
	return c.check(topic, "sync", all)
}

func async(c *cluster) (string, error) {
	topic := c.name("async")
	// The topic's first message makes it known; the others go out together.
	first := c.message(topic, "TagA", 0)
	if err := sent(c.producer.SendSync(context.Background(), first)); err != nil {
		return "", err
	}
	all := []*primitive.Message{first}
	results := make(chan error, 100)
	for n := 1; n <= 100; n++ {
		m := c.message(topic, "TagA", n)
		all = append(all, m)
		err := c.producer.SendAsync(context.Background(), func(_ context.Context, r *primitive.SendResult, err error) {
			results <- sent(r, err)
		}, m)
		if err != nil {
			return "", err
		}
	}
	for range 100 {
		select {
		case err := <-results:
			if err != nil {
				return "", err
			}
		case <-time.After(deadline):
			return "", fmt.Errorf("a callback did not come")
		}
	}
	return c.check(topic, "async", all)
}

func batch(c *cluster) (string, error) {
	topic := c.name("batch")
	first := c.message(topic, "TagA", 0)
	if err := sent(c.producer.SendSync(context.Background(), first)); err != nil {
		return "", err
	}
	all := []*primitive.Message{first}
	var group []*primitive.Message
	for n := 1; n <= 10; n++ {
		group = append(group, c.message(topic, "TagA", n))
	}
	r, err := c.producer.SendSync(context.Background(), group...)
	if err := sent(r, err); err != nil {
		return "", err
	}
	// The broker answers with as many offset ids as there are messages.
	if ids := strings.Split(r.OffsetMsgID, ","); len(ids) != 10 {
		return "", fmt.Errorf("%d offset message ids for a batch of 10: %s", len(ids), r.OffsetMsgID)
	}
	return c.check(topic, "batch", append(all, group...))
}

func oneway(c *cluster) (string, error) {
	topic := c.name("oneway")
	first := c.message(topic, "TagA", 0)
	if err := sent(c.producer.SendSync(context.Background(), first)); err != nil {
		return "", err
	}
	all := []*primitive.Message{first}
	for n := 1; n <= 30; n++ {
		m := c.message(topic, "TagA", n)
		if err := c.producer.SendOneWay(context.Background(), m); err != nil {
			return "", err
		}
		all = append(all, m)
	}
	return c.check(topic, "oneway", all)
}

func tagFilter(c *cluster) (string, error) {
	topic := c.name("tags")
	tags := []string{"TagA", "TagB", "TagC"}
	var wanted []*primitive.Message
	send := func(from, count int) error {
		for n := from; n < from+count; n++ {
			m := c.message(topic, tags[n%3], n)
			if err := sent(c.producer.SendSync(context.Background(), m)); err != nil {
				return err
			}
			if n%3 != 1 {
				wanted = append(wanted, m)
			}
		}
		return nil
	}
	if err := send(0, 30); err != nil {
		return "", err
	}
	got, stop, err := c.consume(topic, "tags", "TagA || TagC")
	if err != nil {
		return "", err
	}
	// The other half comes while the consumer runs.
	err = send(30, 30)
	if err == nil {
		err = got.wait(len(wanted))
	}
	_ = stop()
	if err == nil {
		err = same(wanted, got.all())
	}
	return fmt.Sprintf("%d of 60 messages", len(wanted)), err
}

// continues starts two processes, one after the other: of two clients in one process the first would not be gone for
// sure. This client says no goodbye, and a heartbeat that is on its way when it stops opens a connection again.
func continues(c *cluster) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	for _, from := range []string{"0", "20"} {
		if said, err := exec.Command(program, c.namesrv, c.prefix, from).CombinedOutput(); err != nil {
			return "", fmt.Errorf("messages from %s: %w: %s", from, err, said)
		}
	}
	return "20, then 20 more after a new start", nil
}

// round sends 20 messages and consumes them, and none that an earlier round consumed: the group is the same.
func (c *cluster) round(first string) error {
	from, err := strconv.Atoi(first)
	if err != nil {
		return err
	}
	topic := c.name("continues")
	var all []*primitive.Message
	for n := from; n < from+20; n++ {
		m := c.message(topic, "TagA", n)
		if err := sent(c.producer.SendSync(context.Background(), m)); err != nil {
			return err
		}
		all = append(all, m)
	}
	_, err = c.check(topic, "continues", all)
	return err
}
