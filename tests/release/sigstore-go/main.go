// Command sigstore verifies a signature as `cosign verify-blob --key` does, or an envelope as `cosign
// verify-blob-attestation --key` does, by the packages that cosign verifies with.
package main

import (
	"bytes"
	"crypto"
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/sigstore/sigstore/pkg/cryptoutils"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/sigstore/sigstore/pkg/signature/dsse"
)

func main() {
	if err := verify(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func verify(what, key string, files []string) error {
	verifier, err := verifierOf(key)
	if err != nil {
		return err
	}
	given, err := os.ReadFile(files[0])
	if err != nil {
		return err
	}
	if what == "envelope" {
		return dsse.WrapVerifier(verifier).VerifySignature(bytes.NewReader(given), nil)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(given)))
	if err != nil {
		return err
	}
	content, err := os.Open(files[1])
	if err != nil {
		return err
	}
	defer content.Close()
	return verifier.VerifySignature(bytes.NewReader(raw), content)
}

func verifierOf(path string) (signature.Verifier, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, err := cryptoutils.UnmarshalPEMToPublicKey(pem)
	if err != nil {
		return nil, err
	}
	return signature.LoadVerifier(key, crypto.SHA256)
}
