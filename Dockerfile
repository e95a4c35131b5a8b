# One image for every application and for the command line: `docker run … dist/apps/ca/main.js --config FILE`.
FROM node:24-bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential python3 \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY apps/ca/package.json apps/ca/
COPY apps/cli/package.json apps/cli/
COPY apps/records/package.json apps/records/
COPY apps/tls-sidecar/package.json apps/tls-sidecar/
COPY libs/audit/package.json libs/audit/
COPY libs/ca/package.json libs/ca/
COPY libs/data-encryption/package.json libs/data-encryption/
COPY libs/hsm/package.json libs/hsm/
COPY libs/tls-offload/package.json libs/tls-offload/
# The image's own Node.js brings the headers that the native parts are compiled with.
ENV npm_config_nodedir=/usr/local
RUN npm ci --strict-allow-scripts --include=dev
COPY . .
RUN node scripts/build.mjs \
 && npm prune --omit=dev \
 && rm -rf node_modules/node-linux-* node_modules/.bin/node libs/tls-offload/native/build/Release/obj.target

FROM node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends softhsm2 \
 && rm -rf /var/lib/apt/lists/* \
 # Volumes take the owner of the folder they are mounted on: the init service needs no root, the applications none either.
 && install -d -o node -g node -m 0700 /var/lib/nest-hsm \
 && install -d -o node -g node -m 0700 /init/ca /init/records /init/tls-sidecar \
 && install -d -o node -g node -m 0755 /init/postgres
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/apps apps
COPY --from=build /app/libs libs
COPY --from=build /app/dist dist
COPY --from=build /app/scripts scripts
USER node
ENTRYPOINT ["node"]
