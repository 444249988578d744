module keyturn.dev/sandbox/apps

go 1.26.0
