// A Vault server for tests: the core of HashiCorp Vault with its key-value engine, an engine that lends
// logins, and the logins of AppRoles and ServiceAccounts; in memory and unsealed.
//
// Usage: vault ADDRESS. It prints its address and root token, and ends when its standard input closes.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	log "github.com/hashicorp/go-hclog"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

func main() {
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(address string) error {
	core, token, err := unsealed()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	properties := &vault.HandlerProperties{Core: core, ListenerConfig: &configutil.Listener{}}
	server := &http.Server{Handler: vaulthttp.Handler.Handler(properties), ReadHeaderTimeout: time.Minute}
	go server.Serve(listener)
	fmt.Println(listener.Addr(), token)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func unsealed() (*vault.Core, string, error) {
	logger := log.NewNullLogger()
	store, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, "", err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           store,
		LogicalBackends:    known[consts.PluginTypeSecrets],
		CredentialBackends: known[consts.PluginTypeCredential],
		BuiltinRegistry:    known,
		DisableMlock:       true,
		Logger:             logger,
	})
	if err != nil {
		return nil, "", err
	}
	made, err := core.Initialize(context.Background(), &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return nil, "", err
	}
	_, err = core.Unseal(made.SecretShares[0])
	return core, made.RootToken, err
}
