#!/bin/sh
# Start PostgreSQL in a container. An empty data folder is set up first: with the superuser's password, the database
# POSTGRES_DB and the scripts of /docker-entrypoint-initdb.d, by a server that listens on its socket only.
set -eu
umask 077

case "${1:--}" in
-*) set -- postgres "$@" ;;
esac
program=$1
shift

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # printf is the shell's own, so that the password is in no list of processes.
    printf '%s\n' "$POSTGRES_PASSWORD" | initdb --pgdata="$PGDATA" --username=postgres --pwfile=/dev/stdin \
        --no-sync --encoding=UTF8 --no-locale --auth-local=trust --auth-host=scram-sha-256
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    printf '%s\n' "listen_addresses = '*'" "unix_socket_directories = '/var/run/postgresql'" "fsync = off" \
        >>"$PGDATA/postgresql.conf"
    pg_ctl --pgdata="$PGDATA" --wait --options="$* -c listen_addresses=''" start
    if [ "${POSTGRES_DB:-postgres}" != postgres ]; then
        psql --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres --dbname=postgres \
            --command="CREATE DATABASE \"$POSTGRES_DB\""
    fi
    for script in /docker-entrypoint-initdb.d/*.sql; do
        [ ! -f "$script" ] || psql --no-psqlrc --set=ON_ERROR_STOP=1 --username=postgres \
            --dbname="${POSTGRES_DB:-postgres}" --file="$script"
    done
    pg_ctl --pgdata="$PGDATA" --wait --mode=fast stop
fi

exec "$program" "$@"
