package rabbittest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Bounds of waiting. They are generous, because test machines are busy.
const (
	startTimeout   = 90 * time.Second
	stopTimeout    = 30 * time.Second
	controlTimeout = 60 * time.Second
)

const (
	nodeName = "instantd@localhost"
	install  = "RabbitMQ is not installed; on Debian and Ubuntu: apt-get install rabbitmq-server"
)

// Node is one RabbitMQ node. Its methods belong to the test that started it, or
// to tests that do not run at the same time.
type Node struct {
	bin      string // folder of rabbitmq-server and rabbitmqctl
	dir      string
	port     int
	guardian *guardian

	mu      sync.Mutex
	running *processes // nil while the node is down

	vhosts      sync.Mutex
	made, given int // virtual hosts
}

// Start runs a node until the test ends. The test fails when RabbitMQ is not
// installed or does not start.
func Start(t testing.TB) *Node {
	t.Helper()
	node, err := launch()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(node.close)
	return node
}

var shared = sync.OnceValues(launch)

// Shared returns a node that all tests of the binary use together, and that
// runs until the binary ends. Tests must not stop, pause or reset it, and
// separate themselves by virtual hosts: see Vhost.
func Shared(t testing.TB) *Node {
	t.Helper()
	node, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return node
}

// launch starts a node, on other ports when somebody else took the ones that
// were free a moment ago.
func launch() (*Node, error) {
	bin, err := findServer()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "rabbittest-")
	if err != nil {
		return nil, err
	}
	keeper, err := guard(dir)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	n := &Node{bin: bin, dir: dir, guardian: keeper}
	for range 3 {
		if err = n.configure(); err != nil {
			break
		}
		if err = n.start(); !errors.Is(err, errExited) {
			break
		}
	}
	if err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

// findServer returns the folder of the server's own scripts. Debian's wrappers
// in sbin refuse to run for most users, the scripts behind them do not.
func findServer() (string, error) {
	if _, err := os.Stat("/usr/lib/rabbitmq/bin/rabbitmq-server"); err == nil {
		return "/usr/lib/rabbitmq/bin", nil
	}
	path, err := exec.LookPath("rabbitmq-server")
	if err != nil {
		return "", errors.New(install)
	}
	return filepath.Dir(path), nil
}

// URL is where the node accepts AMQP connections of its administrator.
func (n *Node) URL() string {
	return fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d/", n.port)
}

// Vhost returns the URL of a virtual host that nobody else was given.
func (n *Node) Vhost(t testing.TB) string {
	t.Helper()
	n.vhosts.Lock()
	defer n.vhosts.Unlock()
	// They are made by the dozen, because rabbitmqctl takes seconds to start.
	if n.given == n.made {
		n.Control(t, "eval", fmt.Sprintf(`[begin
			rabbit_vhost:add(V, <<"test">>),
			rabbit_auth_backend_internal:set_permissions(<<"guest">>, V, <<".*">>, <<".*">>, <<".*">>, <<"test">>)
		end || I <- lists:seq(%d, %d), V <- [list_to_binary("v" ++ integer_to_list(I))]].`, n.made+1, n.made+12))
		n.made += 12
	}
	n.given++
	return fmt.Sprintf("%sv%d", n.URL(), n.given)
}

// Stop ends the node as an operator would. Its data stay.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	n.end(t, syscall.SIGTERM)
}

// Kill ends the node at once (SIGKILL). What it had synced stays.
func (n *Node) Kill(t testing.TB) {
	t.Helper()
	n.end(t, syscall.SIGKILL)
}

// Pause freezes the node (SIGSTOP): its connections stay open and silent.
func (n *Node) Pause(t testing.TB) {
	t.Helper()
	n.signal(t, syscall.SIGSTOP)
}

// Continue thaws the node after Pause.
func (n *Node) Continue(t testing.TB) {
	t.Helper()
	n.signal(t, syscall.SIGCONT)
}

// Restart starts the node with the data it had, stopping it first if it runs.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	if n.isRunning() {
		n.Stop(t)
	}
	if err := n.start(); err != nil {
		t.Fatal(err)
	}
}

// Reset starts the node without any data, killing it first if it runs.
func (n *Node) Reset(t testing.TB) {
	t.Helper()
	if n.isRunning() {
		n.Kill(t)
	}
	if err := os.RemoveAll(n.path("mnesia")); err != nil {
		t.Fatal(err)
	}
	n.vhosts.Lock()
	n.made = n.given // the others are gone
	n.vhosts.Unlock()
	n.Restart(t)
}

// SetMemoryAlarm raises or clears the memory alarm. While it is raised the node
// reads nothing from connections that publish.
func (n *Node) SetMemoryAlarm(t testing.TB, on bool) {
	t.Helper()
	limit := "4GB"
	if on {
		limit = "1MB"
	}
	n.Control(t, "set_vm_memory_high_watermark", "absolute", limit)
}

// Control runs rabbitmqctl for the node and returns what it prints.
func (n *Node) Control(t testing.TB, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), controlTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "rabbitmqctl"), append([]string{"-q", "-n", nodeName}, args...)...)
	cmd.Env, cmd.Dir = n.env(), n.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("rabbitmqctl %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

func (n *Node) path(name string) string { return filepath.Join(n.dir, name) }

func (n *Node) isRunning() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.running != nil
}

// configure chooses free ports and writes the node's configuration.
func (n *Node) configure() error {
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	n.port = ports[0]
	settings := fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\ndisk_free_limit.absolute = 50MB\n", ports[0])
	environment := fmt.Sprintf("RABBITMQ_NODE_PORT=%d\nRABBITMQ_DIST_PORT=%d\nERL_EPMD_PORT=%d\n", ports[0], ports[1], ports[2])
	return errors.Join(
		os.WriteFile(n.path("rabbitmq.conf"), []byte(settings), 0o600),
		os.WriteFile(n.path("ports"), []byte(environment), 0o600),
		os.WriteFile(n.path("enabled_plugins"), []byte("[]."), 0o600),
		os.MkdirAll(n.path("log"), 0o700),
	)
}

// env is what makes the node private. epmd, the name server of Erlang nodes, is
// private as well: the usual one is shared by the machine and stays for ever.
func (n *Node) env() []string {
	ports, _ := os.ReadFile(n.path("ports"))
	return append(append(os.Environ(), strings.Fields(string(ports))...),
		"HOME="+n.dir,
		"ERL_EPMD_ADDRESS=127.0.0.1",
		"RABBITMQ_NODENAME="+nodeName,
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
		"RABBITMQ_MNESIA_BASE="+n.path("mnesia"),
		"RABBITMQ_LOG_BASE="+n.path("log"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+n.path("enabled_plugins"),
		"RABBITMQ_CONFIG_FILE="+n.path("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+n.path("advanced.config"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_PID_FILE="+n.path("pid"),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 -kernel inet_dist_use_interface {127,0,0,1}",
	)
}

// start runs the node and returns when it accepts connections.
func (n *Node) start() error {
	if err := os.MkdirAll(n.path("mnesia"), 0o700); err != nil {
		return err
	}
	p, err := n.run()
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.running = p
	n.mu.Unlock()

	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := amqp.Dial(n.URL())
		if err == nil {
			return conn.Close()
		}
		select {
		case <-p.exited:
			n.kill()
			return fmt.Errorf("%w:\n%s", errExited, n.output())
		case <-timeout.C:
			n.kill()
			return fmt.Errorf("rabbitmq-server is not up after %s: %w\n%s", startTimeout, err, n.output())
		case <-again.C:
		}
	}
}

var errExited = errors.New("rabbitmq-server ended while starting")

func (n *Node) output() []byte {
	out, _ := os.ReadFile(n.path("out.log"))
	const most = 4 << 10
	return bytes.TrimSpace(out[max(0, len(out)-most):])
}

func (n *Node) end(t testing.TB, sig syscall.Signal) {
	t.Helper()
	n.mu.Lock()
	p := n.running
	n.mu.Unlock()
	if p == nil {
		t.Fatal("the node is not running")
	}
	if sig != syscall.SIGKILL {
		if err := p.stop(sig); err != nil {
			t.Fatal(err)
		}
	}
	n.kill()
}

// kill ends what is left of the node. It does nothing when the node is down.
func (n *Node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil {
		return
	}
	n.running.kill()
	n.running = nil
	n.guardian.watch(0)
}

func (n *Node) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.running == nil {
		t.Fatal("the node is not running")
	}
	if err := syscall.Kill(-n.running.group, sig); err != nil {
		t.Fatal(err)
	}
}

func (n *Node) close() {
	n.kill()
	n.guardian.close()
}

func freePorts(count int) ([]int, error) {
	ports := make([]int, 0, count)
	for range count {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // only at the end, so that no port comes twice
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// processes are one run of a node: epmd, which leads their process group, and
// the server.
type processes struct {
	group  int
	epmd   *exec.Cmd
	server *exec.Cmd
	exited chan struct{} // closed when the server has ended, to its last process
}

func (n *Node) run() (*processes, error) {
	out, err := os.Create(n.path("out.log"))
	if err != nil {
		return nil, err
	}
	defer out.Close() // the processes have their own handles
	command := func(group int, name string, args ...string) *exec.Cmd {
		cmd := exec.Command(name, args...)
		cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = n.env(), n.dir, out, out
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pgid: group}
		return cmd
	}
	epmd := command(0, "epmd")
	if err := epmd.Start(); err != nil {
		return nil, fmt.Errorf("%s (%w)", install, err)
	}
	p := &processes{group: epmd.Process.Pid, epmd: epmd, exited: make(chan struct{})}
	n.guardian.watch(p.group)
	p.server = command(p.group, filepath.Join(n.bin, "rabbitmq-server"))
	// The script that is started is not the server itself. All of its processes
	// inherit this pipe, so it ends with the last of them.
	alive, inherited, err := os.Pipe()
	if err == nil {
		p.server.ExtraFiles = []*os.File{inherited}
		err = p.server.Start()
		_ = inherited.Close()
	}
	if err != nil {
		_ = epmd.Process.Kill()
		_ = epmd.Wait()
		n.guardian.watch(0)
		return nil, err
	}
	go func() { // ends with the server, which kill or the guardian ends
		_, _ = io.Copy(io.Discard, alive)
		_ = alive.Close()
		_ = p.server.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop asks the server to end and waits for it.
func (p *processes) stop(sig syscall.Signal) error {
	if err := p.server.Process.Signal(sig); err != nil {
		return err
	}
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.exited:
		return nil
	case <-timeout.C:
		return fmt.Errorf("rabbitmq-server does not stop within %s", stopTimeout)
	}
}

// kill ends the whole group. The group's number cannot have been given to
// others: its leader, epmd, is not waited for before.
func (p *processes) kill() {
	_ = syscall.Kill(-p.group, syscall.SIGKILL)
	_ = p.epmd.Wait()
	<-p.exited
}

// guardian is a shell that outlives the test binary by a moment, to end what it
// left running.
type guardian struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// Each line names the process group that runs now, 0 for none.
const guardianScript = `group=0
while read -r line; do group=$line; done
if [ "$group" -gt 1 ]; then kill -s KILL -- "-$group" 2>/dev/null; fi
tries=50 # the last process may still be writing
until rm -rf -- "$1" 2>/dev/null || [ "$tries" -eq 0 ]; do tries=$((tries - 1)); sleep 0.1; done`

func guard(dir string) (*guardian, error) {
	cmd := exec.Command("/bin/sh", "-c", guardianScript, "rabbittest", dir)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the keyboard is not for it
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &guardian{cmd, pipe}, nil
}

func (g *guardian) watch(group int) { _, _ = fmt.Fprintln(g.pipe, group) }

func (g *guardian) close() {
	_ = g.pipe.Close()
	_ = g.cmd.Wait()
}
