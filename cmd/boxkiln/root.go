package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/boxkiln/boxkiln/daemon/build"
	"github.com/boxkiln/boxkiln/daemon/client"
	"github.com/boxkiln/boxkiln/hypervisor"
	"github.com/boxkiln/boxkiln/internal/layout"
)

// environment is what the command reads of the process it runs in.
type environment struct {
	stdin, stdout, stderr *os.File
	getenv                func(string) string
	environ               func() []string
	// parts and drivers are the table of parts.go; tests add a hypervisor without machines.
	parts   func() build.Parts
	drivers func(log *slog.Logger) func(install string) map[string]hypervisor.Driver

	dataFlag, server, tokenFile string
}

// Environment variables of the client.
const (
	envServer = "BOXKILN_SERVER"
	envToken  = "BOXKILN_TOKEN"
)

func newRoot(env *environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "boxkiln",
		Short: "Fire golden VM images and serve them",
		Long: `Boxkiln builds VM images from Packer templates, unchanged, and serves them as Vagrant boxes.

  boxkiln build TEMPLATE            build; brings its own daemon when none runs
  boxkiln serve                     run the daemon: queue, registry, web pages` + exitHelp,
		Version:           version,
		SilenceUsage:      true,
		SilenceErrors:     true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	flags := root.PersistentFlags()
	flags.StringVar(&env.dataFlag, "data", "", "data directory (environment "+layout.EnvData+")")
	flags.StringVar(&env.server, "server", "", "URL of a daemon elsewhere (environment "+envServer+")")
	flags.StringVar(&env.tokenFile, "token-file", "", "file with the token for --server (or the token itself in "+envToken+")")
	root.AddCommand(
		newBuildCommand(env), newConvertCommand(env), newPlanCommand(env), newValidateCommand(env), newInspectCommand(env), newFmtCommand(env),
		newServeCommand(env), newResumeCommand(env), newWatchCommand(env), newKeysCommand(env), newSSHCommand(env), newBuildsCommand(env), newTokenCommand(env), newUserCommand(env), newOrgCommand(env), newAuditCommand(env), newBoxCommand(env), newCacheCommand(env), newAWSCommand(env), newDoctorCommand(env), newVersionCommand(env),
		newInitCommand(env), newDocsCommand(env),
	)
	return root
}

// data is the data directory that the user means.
func (e *environment) data() (layout.Dir, error) {
	return layout.Find(e.dataFlag, e.getenv, os.Getuid())
}

// client finds the daemon: --server, BOXKILN_SERVER, or the socket of the data directory.
func (e *environment) client() (*client.Client, error) {
	server := e.server
	if server == "" && e.dataFlag == "" {
		server = e.getenv(envServer)
	}
	if server == "" {
		data, err := e.data()
		if err != nil {
			return nil, err
		}
		socket, err := data.Socket()
		if err != nil {
			return nil, err
		}
		return client.Socket(socket), nil
	}
	token, err := e.token()
	if err != nil {
		return nil, err
	}
	return client.Remote(server, token)
}

func (e *environment) token() (string, error) {
	if e.tokenFile == "" {
		return e.getenv(envToken), nil
	}
	data, err := os.ReadFile(e.tokenFile)
	if err != nil {
		return "", fmt.Errorf("--token-file: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// withDaemon calls fn with a client of a daemon that answers.
func (e *environment) withDaemon(ctx context.Context, fn func(*client.Client) error) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	defer c.Close()
	err = fn(c)
	if errors.Is(err, client.ErrNoDaemon) {
		return fmt.Errorf("%w: start one with `boxkiln serve`, or name it with --data or --server", err)
	}
	return err
}

func newVersionCommand(env *environment) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(env.stdout, "boxkiln %s\n", version)
			return err
		},
	}
}

func newInitCommand(env *environment) *cobra.Command {
	cmd := &cobra.Command{
		Use: "init [TEMPLATE]", Short: "Do nothing: there are no plugins to fetch", Args: cobra.MaximumNArgs(1),
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(env.stdout, "Nothing to fetch: Boxkiln is one program, and required_plugins are ignored.")
			return err
		},
	}
	cmd.Flags().Bool("upgrade", false, "taken for scripts that call packer init")
	cmd.Flags().Bool("force", false, "taken for scripts that call packer init")
	return cmd
}
